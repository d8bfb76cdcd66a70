from django.urls import path

from . import level_views, paperwork_views, views

urlpatterns = [
    path("availability/", level_views.Availability.as_view(), name="availability"),
    path("warehouses/", views.WarehouseList.as_view(), name="warehouses"),
    path("stock/", views.StockList.as_view(), name="stock"),
    path("stock/adjustments/", level_views.Adjustments.as_view(), name="adjustments"),
    path("stock/quarantine/", level_views.Quarantine.as_view(), name="quarantine"),
    path("stock/restock/", level_views.Restock.as_view(), name="restock"),
    path("stock/scrap/", level_views.Scrap.as_view(), name="scrap"),
    path("stock/limits/", level_views.Limits.as_view(), name="limits"),
    path("stock/imports/<str:reference>/", level_views.Import.as_view(), name="stock-import"),
    path(
        "stock/imports/<str:reference>/errors/",
        level_views.ImportErrors.as_view(),
        name="stock-import-errors",
    ),
    path("reservations/", views.Reservations.as_view(), name="reservations"),
    path("reservations/<uuid:pk>/release/", views.ReservationRelease.as_view()),
    path("returns/", views.Returns.as_view(), name="returns"),
    path("receipts/", views.Receipts.as_view(), name="receipts"),
    path("receipts/expected/", paperwork_views.ExpectedReceipts.as_view(), name="expected"),
    path("receipts/expected/<uuid:pk>/", paperwork_views.ExpectedReceipt.as_view()),
    path("receipts/expected/<uuid:pk>/cancel/", paperwork_views.ExpectedReceiptCancel.as_view()),
    path("receipts/expected/<uuid:pk>/close/", paperwork_views.ExpectedReceiptClose.as_view()),
    path("transfers/", paperwork_views.Transfers.as_view(), name="transfers"),
    path("transfers/<uuid:pk>/", paperwork_views.OneTransfer.as_view()),
    path("transfers/<uuid:pk>/ship/", paperwork_views.TransferShip.as_view()),
    path("transfers/<uuid:pk>/receive/", paperwork_views.TransferReceive.as_view()),
    path("transfers/<uuid:pk>/cancel/", paperwork_views.TransferCancel.as_view()),
    path("counts/", paperwork_views.Counts.as_view(), name="counts"),
    path("counts/<uuid:pk>/", paperwork_views.OneCount.as_view()),
    path("counts/<uuid:pk>/lines/", paperwork_views.CountLines.as_view()),
    path("counts/<uuid:pk>/close/", paperwork_views.CountClose.as_view()),
    path("counts/<uuid:pk>/cancel/", paperwork_views.CountCancel.as_view()),
]
