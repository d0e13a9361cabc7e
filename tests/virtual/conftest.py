"""No test passes or fails by the time it takes: also not those of hypothesis on a busy machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")
