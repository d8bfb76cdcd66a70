from django.urls import path

from . import views

urlpatterns = [
    path("orders/", views.OrderList.as_view(), name="orders"),
    path("orders/bulk/", views.OrderBulk.as_view(), name="orders-bulk"),
    path("orders/<uuid:pk>/", views.OrderDetail.as_view(), name="order"),
    path("orders/<uuid:pk>/cancel/", views.OrderCancel.as_view(), name="order-cancel"),
    path("orders/<uuid:pk>/confirm/", views.OrderConfirm.as_view(), name="order-confirm"),
]
