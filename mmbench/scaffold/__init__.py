"""New plugin packages: complete, installable and tested from the first minute.

``naming`` derives and checks all names from the one given, ``writing`` fills the templates.
"""
