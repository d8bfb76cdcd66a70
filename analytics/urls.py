"""URLs of the analytics API."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
