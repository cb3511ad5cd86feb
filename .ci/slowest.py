"""List the slowest tests and files of a run of pytest with `--junitxml`; fixtures count for the test that made them."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

COUNT = 10

path = Path(sys.argv[1])
if not path.is_file():
    raise SystemExit(f"no {path}: run make test or make test-all first")
tests: Counter[str] = Counter()
files: Counter[str] = Counter()
for case in ElementTree.parse(path).iter("testcase"):
    seconds, file = float(case.get("time", 0)), case.get("classname", "")
    tests[f"{file}::{case.get('name')}"] += seconds
    files[file] += seconds
for title, found in (("tests", tests), ("files", files)):
    print(f"slowest {title}, of {len(found)} with {found.total():.0f} s in all:")
    for name, seconds in found.most_common(COUNT):
        print(f"  {seconds:6.1f} s  {name}")
