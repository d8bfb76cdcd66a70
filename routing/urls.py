from django.urls import path

from . import views

urlpatterns = [
    path("routes/", views.RouteList.as_view(), name="routes"),
    path("routes/<uuid:pk>/", views.RouteDetail.as_view(), name="route"),
    path("routes/<uuid:pk>/dispatch/", views.RouteDispatch.as_view(), name="route-dispatch"),
    path("stops/<uuid:pk>/deliver/", views.StopDeliver.as_view(), name="stop-deliver"),
    path("stops/<uuid:pk>/fail/", views.StopFail.as_view(), name="stop-fail"),
    path("depots/<slug:code>/plan/", views.DepotPlan.as_view(), name="depot-plan"),
]
