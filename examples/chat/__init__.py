"""A small chat on window messages: ``python -m examples.chat PORT``, then ``nc`` twice."""
