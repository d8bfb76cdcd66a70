"""URLs of the orders API."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
