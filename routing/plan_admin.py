"""What the planner has done, and what it wants somebody to see."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from supplychain.admin_tools import ReadOnlyAdmin

from . import alerting, plan_page, plan_tables, selectors
from .admin_filters import Seen
from .admin_links import at_depot, figure, link, link_to
from .models import Alert, Plan, PlanRun


@admin.register(PlanRun)
class PlanRunAdmin(ReadOnlyAdmin):
    list_display = [
        *("started", "depot", "trigger", "state", "shipments", "planned", "unplanned"),
        *("moved", "fell_out", "out_of_time", "seconds", "error"),
    ]
    list_filter = ["state", "trigger", "depot"]
    list_select_related = ["depot"]
    date_hierarchy = "started_at"

    started = at_depot("started_at", "started")
    seconds = figure("solver_seconds", "seconds of search", 1)

    @admin.display(description="cut short", ordering="cut_short")
    def out_of_time(self, run: PlanRun) -> str:
        return "out of time" if run.cut_short else "–"


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """The versions of each day's plan, and what each changed."""

    list_display = [
        *("day", "depot", "version", "why", "stops", "km", "costs", "made", "shown"),
    ]
    list_filter = ["depot", "day"]
    list_select_related = ["depot"]
    date_hierarchy = "day"
    ordering = ["-made_at"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("depot", "day", "version"),
                    ("why", "run"),
                    ("made", "shown"),
                    ("stops", "km", "costs"),
                ]
            },
        ),
        ("Routes", {"fields": ["tours"]}),
        ("Changes", {"fields": ["before", "changes"]}),
    ]
    readonly_fields = ["made", "km", "costs", "shown", "tours", "before", "changes"]

    made = at_depot("made_at", "made")
    km, costs = figure("distance_km", "km"), figure("cost", "cost", 2)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        rows: QuerySet[Plan] = super().get_queryset(request)
        listed = request.resolver_match and request.resolver_match.url_name
        return rows.defer("routes") if listed == "routing_plan_changelist" else rows

    @admin.display(description="on the map")
    def shown(self, plan: Plan) -> str:
        return link(plan_page.day_url(plan.depot, plan.day), "plan as it stands")

    @admin.display(description="routes")
    def tours(self, plan: Plan) -> str:
        return plan_tables.tours(plan)

    @admin.display(description="version before")
    def before(self, plan: Plan) -> str:
        row = selectors.previous(plan)
        if row is None:
            return "–"
        difference = plan.cost - row.cost
        text = f"version {row.version}, cost {row.cost:,.2f} (now {difference:+,.2f})"
        return link_to("plan", row.pk, text)

    @admin.display(description="changes since then")
    def changes(self, plan: Plan) -> str:
        return plan_tables.changes(plan)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """What nobody has seen comes first."""

    list_display = ["told", "depot", "kind", "text", "about", "plan", "seen", "seen_by"]
    list_filter = [Seen, "kind", "depot"]
    search_fields = ["text", "=subject_id"]
    list_select_related = ["depot"]
    ordering = [F("seen_at").desc(nulls_first=True), "-at"]
    readonly_fields = ["told", "seen", "about", "plan"]
    exclude = ["subject_id", "at", "seen_at"]
    actions = ["see"]

    told = at_depot("at", "told")
    seen = at_depot("seen_at", "seen")

    @admin.display(description="about")
    def about(self, alert: Alert) -> str:
        if alert.kind == Alert.Kind.PLANNING_FAILS:
            runs = reverse("admin:routing_planrun_changelist")
            return link(f"{runs}?depot__id__exact={alert.depot_id}", "runs")
        routes = (Alert.Kind.NOT_DISPATCHED, Alert.Kind.NOT_COMPLETED)
        name = "route" if alert.kind in routes else "shipment"
        return link_to(name, alert.subject_id, name)

    @admin.display(description="plan")
    def plan(self, alert: Alert) -> str:
        return link(reverse("plan-of-depot", args=[alert.depot.code]), "plan")

    @admin.action(description="I have seen them", permissions=["view"])
    def see(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        if not request.user.has_perm("routing.change_alert"):
            self.message_user(request, "You may not answer alerts.", messages.ERROR)
            return
        for alert in queryset:
            alerting.see_alert(alert_id=alert.pk, by=request.user.get_username())
        self.message_user(request, f"{len(queryset)} alerts seen.")
