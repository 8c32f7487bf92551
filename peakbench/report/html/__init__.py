"""The report as a web page: one file, which works offline and asks nobody for anything."""
