# Reads the CSV of `npm run bench -- export` with a library that Couchgate does not use, and compares every cell with
# what was written. Prints one line of JSON.
import csv, json, re, sys

FORMULAS = ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://a","b")', "plain"]
RUNS = ("=", "+", "-", "@", "\t", "\r")

rows = cells = harmful = wrong = 0
columns = set()
with open(sys.argv[1], newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    for row in reader:
        rows += 1
        columns.add(len(row) if None not in row else -1)
        n = int(row["n"])
        formula = FORMULAS[n % len(FORMULAS)]
        expected = {
            "_id": f"doc-{n:08d}",
            "n": str(n),
            "minus": str(-n) if n else "0",
            "formula": formula if formula == "plain" else "'" + re.sub(r"([;\t\r\n])(?=[=+\-@])", r"\1'", formula),
            "text": f'"{n}", a;b\r\nline 2 — ünï {chr(0x1F600)}',
            "nothing": "",
            "flag": "true" if n % 2 else "false",
        }
        wrong += sum(row[name] != value for name, value in expected.items())
        wrong += json.loads(row["nested"]) != {"list": [n, None, "x"]}
        cells += len(row)
        harmful += sum(
            value.startswith(RUNS) for name, value in row.items() if name != "minus" or not value[1:].isdigit()
        )
print(json.dumps({"rows": rows, "columns": sorted(columns), "cells": cells, "harmful": harmful, "wrong": wrong}))
