from django.urls import path

from . import views

urlpatterns = [
    path("stock/", views.StockList.as_view(), name="stock"),
    path("warehouses/", views.WarehouseList.as_view(), name="warehouses"),
    path("returns/", views.Returns.as_view(), name="returns"),
    path("receipts/", views.Receipts.as_view(), name="receipts"),
]
