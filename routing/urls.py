from django.urls import path

from . import converters as converters
from . import plan_views, views

urlpatterns = [
    path("routes/", views.RouteList.as_view(), name="routes"),
    path("routes/<uuid:pk>/", views.RouteDetail.as_view(), name="route"),
    path("routes/<uuid:pk>/dispatch/", views.RouteDispatch.as_view(), name="route-dispatch"),
    path("routes/<uuid:pk>/driver/", views.RouteDriver.as_view(), name="route-driver"),
    path("proof-photos/<uuid:pk>/", views.Photo.as_view(), name="proof-photo"),
    path("stops/<uuid:pk>/deliver/", views.StopDeliver.as_view(), name="stop-deliver"),
    path("stops/<uuid:pk>/fail/", views.StopFail.as_view(), name="stop-fail"),
    path("routes/<uuid:pk>/freeze/", views.RouteFreeze.as_view(), name="route-freeze"),
    path("routes/<uuid:pk>/thaw/", views.RouteThaw.as_view(), name="route-thaw"),
    path("routes/<uuid:pk>/next-stop/", views.NextStop.as_view(), name="next-stop"),
    path("stops/<uuid:pk>/move/", views.StopMove.as_view(), name="stop-move"),
    path("shipments/<uuid:pk>/place/", views.ShipmentPlace.as_view(), name="shipment-place"),
    path("depots/<slug:code>/plan/", views.DepotPlan.as_view(), name="depot-plan"),
    path("depots/<slug:code>/days/<day:day>/", plan_views.Day.as_view(), name="depot-day"),
    path(
        "depots/<slug:code>/days/<day:day>/stops.csv", views.DayCsv.as_view(), name="depot-day-csv"
    ),
    path(
        "depots/<slug:code>/days/<day:day>/routes.geojson",
        views.DayGeoJson.as_view(),
        name="depot-day-geojson",
    ),
    path("plans/", views.PlanList.as_view(), name="plans"),
    path("plans/<int:pk>/", views.PlanDetail.as_view(), name="plan"),
    path(
        "plans/<int:pk>/against/<int:before>/",
        plan_views.Comparison.as_view(),
        name="plan-comparison",
    ),
    path("routing/promises/", views.Promises.as_view(), name="promises"),
    path("routing/alerts/", views.AlertList.as_view(), name="alerts"),
    path("routing/alerts/<uuid:pk>/seen/", views.AlertSeen.as_view(), name="alert-seen"),
]
