"""URLs of the inventory API."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
