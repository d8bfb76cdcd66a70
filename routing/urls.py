"""URLs of the routing API."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
