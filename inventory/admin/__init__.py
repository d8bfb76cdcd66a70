"""The warehouse's pages. Who may do what, and where, stands in inventory/access.py; whatever is
done goes through the services (see acting.py)."""

from . import demand, levels, paperwork, places

__all__ = ["demand", "levels", "paperwork", "places"]
