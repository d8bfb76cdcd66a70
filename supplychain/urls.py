"""Every address of the system; each app brings its own under /api/v1/."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from . import health, metrics

admin.site.site_header = "Supply chain"
admin.site.site_title = "Supply chain"
admin.site.index_title = "Warehouse and operations"

handler400 = "supplychain.api.bad_request"
handler404 = "supplychain.api.page_not_found"
handler500 = "supplychain.api.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", include("routing.plan_urls")),
    path("admin/", admin.site.urls),
    path("drive/", include("routing.driver_urls")),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include("inventory.urls")),
    path("api/v1/", include("routing.urls")),
    path("api/v1/", include("analytics.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="api-docs"),
]
