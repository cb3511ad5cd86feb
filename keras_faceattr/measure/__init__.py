"""Speed of files: on this machine, on Android phones and in browsers."""
