"""One training or inference step of minicnn and of other frameworks, measured in a process of its own.

This package runs inside other virtual environments, so it imports nothing of minicnn (but
``with_minicnn.py``, which measures it) and, before a framework is chosen, nothing but the standard library.
"""
