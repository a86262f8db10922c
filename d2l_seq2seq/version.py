"""The version of the package; its second digit moves when old run folders stop loading."""

__version__ = '0.2.0'
