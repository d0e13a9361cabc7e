"""``python -m examples.login_server``."""

import sys

from .main import main

sys.exit(main())
