"""``python -m examples.login_server``."""

import sys

try:
    from .main import main
except ModuleNotFoundError as error:
    sys.exit(f'the login server needs {error.name}: pip install "wsock[server]"')

sys.exit(main())
