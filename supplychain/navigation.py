"""Promise: whoever works in the admin finds what they may see, by what they do."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

#: Group: (title, Material symbol, model as app.model) of each page in it; of one that is no list
#: of rows, its address's name besides.
PAGES: dict[str, list[tuple[str, ...]]] = {
    "Orders": [
        ("Orders", "shopping_cart", "orders.order"),
        ("Backorders", "hourglass_top", "inventory.backorder"),
        ("Catalogue", "menu_book", "orders.catalogueitem"),
        ("Channels", "storefront", "orders.channel"),
    ],
    "Warehouse": [
        ("Stock levels", "inventory_2", "inventory.stocklevel"),
        ("Products", "category", "inventory.product"),
        ("Reservations", "bookmark", "inventory.reservation"),
        ("Inbound receipts", "move_to_inbox", "inventory.receipt"),
        ("Transfers", "sync_alt", "inventory.transfer"),
        ("Cycle counts", "checklist", "inventory.cyclecount"),
        ("Ledger", "receipt_long", "inventory.stockmovement"),
        ("Imports", "upload_file", "inventory.stockimport"),
        ("Warehouses", "warehouse", "inventory.warehouse"),
        ("Sourcing rules", "alt_route", "inventory.sourcingrule"),
        ("Region exclusions", "block", "inventory.regionexclusion"),
        ("Allocations", "assignment", "inventory.allocation"),
    ],
    "Delivery": [
        ("Plan", "map", "routing.route", "plan-today"),
        ("Routes", "route", "routing.route"),
        ("Shipments", "local_shipping", "routing.shipment"),
        ("Alerts", "notification_important", "routing.alert"),
        ("Plan versions", "history", "routing.plan"),
        ("Plan runs", "calculate", "routing.planrun"),
        ("Vehicles", "airport_shuttle", "routing.vehicle"),
        ("Depots", "location_on", "routing.depot"),
    ],
    "Telling people": [
        ("Notifications", "notifications", "notifications.notification"),
        ("Recipients", "contact_mail", "notifications.recipient"),
        ("Webhooks", "webhook", "notifications.webhookendpoint"),
        ("Staff contacts", "contact_phone", "notifications.staffcontact"),
    ],
    "Figures": [
        ("Orders", "monitoring", "analytics.orderfact"),
        ("Promises", "event_available", "analytics.shipmentfact"),
        ("Events", "bar_chart", "analytics.eventcount"),
    ],
    "Events": [
        ("Dead letters", "report", "events.deadletter"),
        ("Event store", "history", "audit.storedevent"),
        ("Outbox", "outbox", "events.outboxevent"),
        ("Inbox", "inbox", "events.inboxentry"),
        ("Suspect deliveries", "sick", "events.suspectdelivery"),
    ],
    "People": [
        ("Users", "person", "auth.user"),
        ("Groups", "group", "auth.group"),
        ("Who works where", "badge", "inventory.warehousestaff"),
        ("API tokens", "key", "authtoken.tokenproxy"),
    ],
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The admin's navigation for this user; a group without a page for them is left out."""
    home = {"title": "To do", "icon": "task_alt", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, pages in PAGES.items():
        items = [
            {"title": name, "icon": icon, "link": _link(model, *address)}
            for name, icon, model, *address in pages
            if admin.site.is_registered(apps.get_model(model)) and may_view(request, model)
        ]
        if items:
            groups.append({"title": title, "collapsible": True, "items": items})
    return groups


def may_view(request: HttpRequest, model: str) -> bool:
    pages = admin.site.get_model_admin(apps.get_model(model))
    return pages.has_view_or_change_permission(request)


def _link(model: str, address: str = "") -> str:
    return reverse(address or f"admin:{model.replace('.', '_')}_changelist")
