from django.urls import path

from . import views

urlpatterns = [path("analytics/summary/", views.Summary.as_view(), name="analytics-summary")]
