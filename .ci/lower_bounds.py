"""Print the lowest versions that setup.cfg allows, as constraints for pip."""

import configparser
import re

setup = configparser.ConfigParser()
setup.read("setup.cfg")
for line in setup["options"]["install_requires"].split("\n"):
    if found := re.match(r"([\w.-]+)(?:\[\w+\])?>=([\w.]+)", line):
        print("{}=={}".format(*found.groups()))
    elif line.strip():
        raise SystemExit(f"setup.cfg: {line!r} has no lower bound")
