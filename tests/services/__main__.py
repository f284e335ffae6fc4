"""`python -m tests.services`: what `make test` calls before pytest."""

import sys

from tests.services import main

sys.exit(main())
