"""The driver's pages, under /drive/."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from . import driver_page

login = LoginView.as_view(template_name="routing/driver_login.html", next_page="driver-routes")

urlpatterns = [
    path("", driver_page.routes, name="driver-routes"),
    path("login/", login, name="driver-login"),
    path("logout/", LogoutView.as_view(next_page="driver-login"), name="driver-logout"),
    path("worker.js", driver_page.worker, name="driver-worker"),
    path("<uuid:pk>/", driver_page.route, name="driver-route"),
    path("<uuid:pk>/driver/", driver_page.give, name="driver-give"),
]
