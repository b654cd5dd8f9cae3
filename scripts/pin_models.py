"""Pin the hashes of the packaged models in the code: `python scripts/pin_models.py`, after their files were replaced.

The manifest lies beside the weights; whoever alters both is caught by the hashes in `anonymize/detect/manifest.py`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models" / "anonymize_models"
CODE = ROOT / "anonymize" / "detect" / "manifest.py"


def main() -> None:
    """Rewrite `PINNED_SHA256`; refuses a manifest that does not fit its files."""
    pins = []
    for name, entry in tomllib.loads((MODELS / "manifest.toml").read_text("utf-8")).items():
        came = hashlib.sha256((MODELS / entry["file"]).read_bytes()).hexdigest()
        if came != entry["sha256"]:
            raise SystemExit(f"{name}: the manifest says {entry['sha256']}, the file is {came}")
        pins.append(f'    "{name}": "{came}",\n')
    table = re.compile(r"(PINNED_SHA256: [^\n]* = \{\n)(?:    [^\n]*\n)*(\})")
    code, replaced = table.subn(lambda found: found[1] + "".join(pins) + found[2], CODE.read_text("utf-8"))
    if replaced != 1:
        raise SystemExit(f"{CODE}: no PINNED_SHA256 table found")
    CODE.write_text(code, "utf-8")


if __name__ == "__main__":
    main()
