"""The echo server, once per model: ``python -m examples.echo MODEL PORT``."""
