"""`python -m anonymize`."""

from anonymize.cli import main

raise SystemExit(main())
