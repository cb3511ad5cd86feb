"""Measuring a file on an Android phone, through `adb`."""
