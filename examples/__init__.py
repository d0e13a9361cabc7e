"""Programs that show wsock at work: ``python -m examples.NAME``, from the project's folder."""
