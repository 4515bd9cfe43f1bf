"""Runs all vectors by rules.py: `python3 vectors.py SPEC`, where SPEC is the spec as OpenAPI 3.1 in JSON.

Prints how many there were, and each that fails. The exit code is 1 if one fails.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from rules import Rules, read

FOLDER = Path(__file__).resolve().parent.parent


def main():
    # Beside the rules, or in the folder that it's published in.
    places = [FOLDER.parent / "layer-payments-3.1.json", FOLDER.parent / "openapi" / "layer-payments-3.1.json"]
    spec = Path(sys.argv[1]) if len(sys.argv) > 1 else next(filter(Path.exists, places), places[0])
    rules = Rules(
        json.loads(spec.read_text(encoding="utf-8")),
        json.loads((FOLDER / "catalogue.json").read_text(encoding="utf-8")),
    )
    count, failed = 0, 0
    for path in sorted((FOLDER / "vectors").glob("*.json")):
        text = path.read_text(encoding="utf-8")
        # Twice: once as data, and once with the requests as they are written, 90.0 and 90 told apart.
        for vector, written in zip(json.loads(text), read(text)):
            request = vector["text"] if "text" in vector else written.first()["payload"]
            if vector["operation"] == "list_invoice_payments":
                request = vector["payload"]
            found = rules.check(vector["operation"], request, **vector.get("context", {}))
            wanted = {(violation["code"], violation["pointer"]) for violation in vector["violations"]}
            count += 1
            if found != wanted:
                failed += 1
                print(f"{path.name}: {vector['name']}")
                for code, pointer in sorted(wanted - found):
                    print(f"  not found: {code} at {pointer!r}")
                for code, pointer in sorted(found - wanted):
                    print(f"  not there: {code} at {pointer!r}")
    print(f"{count} vectors, {failed} failed")
    sys.exit(1 if failed or not count else 0)


main()
