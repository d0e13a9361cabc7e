"""Nine misunderstandings about notifications, each as a program: ``python -m examples.traps``."""
