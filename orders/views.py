"""The orders API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.generics import ListAPIView, RetrieveAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from supplychain.api import RecentFirst, no_such_fields

from . import changing, selectors
from .intake import MAX_BULK, Result, accept
from .models import Channel, Order
from .serializers import CancelIn, ConfirmIn, OrderDetailOut, OrderIn, OrderOut, OrderQuery


def channel_of(request: Request) -> Channel:
    """The channel behind the request's credential; 403 when there is none."""
    channel: Channel | None = getattr(request.user, "channel", None)
    if channel is None or not channel.active:
        raise PermissionDenied("This credential belongs to no active channel.")
    return channel


def visible_to(request: Request) -> QuerySet[Order]:
    """Staff see every order, a channel its own."""
    if request.user.is_staff:
        return selectors.orders_visible_to(None)
    return selectors.orders_visible_to(channel_of(request))


def changeable(request: Request, pk: UUID) -> Order:
    """An order that whoever asks may change: the channel whose it is, or staff with the right to
    change orders. 403 for other staff, 404 for another channel's order."""
    order = get_object_or_404(visible_to(request), pk=pk)
    channel: Channel | None = getattr(request.user, "channel", None)
    own = channel is not None and channel.active and channel.pk == order.channel_id
    if not own and not request.user.has_perm("orders.change_order"):
        raise PermissionDenied("You may look at orders, not change them (orders.change_order).")
    return order


class RecentOrders(RecentFirst):
    ordering = ("-placed_at", "-id")


class OrderList(ListAPIView[Order]):
    serializer_class = OrderOut
    pagination_class = RecentOrders

    def get_queryset(self) -> QuerySet[Order]:
        query = OrderQuery(data=self.request.query_params.dict())
        query.is_valid(raise_exception=True)
        orders = visible_to(self.request)
        if status := query.validated_data.get("status"):
            orders = orders.filter(status=status)
        if code := query.validated_data.get("channel"):
            orders = orders.filter(channel__code=code)
        return orders

    def post(self, request: Request) -> Response:
        """Place an order: 201, or 200 when the same order was placed before."""
        [result] = accept(channel=channel_of(request), bodies=[request.data])
        if result.order is None:
            code = 409 if result.status == "conflict" else 400
            return Response({"errors": result.errors}, status=code)
        [order] = selectors.with_details(Order.objects.filter(pk=result.order.pk))
        created = result.status == "created"
        return Response(OrderDetailOut(order).data, status=201 if created else 200)


class OrderBulk(APIView):
    serializer_class = OrderIn

    def post(self, request: Request) -> Response:
        """Place up to 500 orders; each item is answered on its own."""
        channel = channel_of(request)
        data: Any = request.data
        if unknown := no_such_fields(data, ["orders"]):
            raise ValidationError(unknown)
        bodies = data.get("orders") if isinstance(data, dict) else None
        if not isinstance(bodies, list) or not 1 <= len(bodies) <= MAX_BULK:
            raise ValidationError({"orders": f"A list of 1 to {MAX_BULK} orders is required."})
        results = accept(channel=channel, bodies=bodies)
        return Response({"results": [_bulk_item(i, r) for i, r in enumerate(results)]})


def _bulk_item(index: int, result: Result) -> dict[str, Any]:
    return {
        "index": index,
        "status": result.status,
        "id": str(result.order.pk) if result.order else None,
        "errors": result.errors,
    }


class OrderDetail(RetrieveAPIView[Order]):
    serializer_class = OrderDetailOut

    def get_queryset(self) -> QuerySet[Order]:
        return selectors.with_details(visible_to(self.request))


class OrderCancel(APIView):
    serializer_class = CancelIn

    def post(self, request: Request, pk: UUID) -> Response:
        """Take an order, or some of its units, back before they have left; 409 when it is too
        late. Units that turn out to have left already are put back into the order."""
        order = changeable(request, pk)
        body = CancelIn(data=request.data)
        body.is_valid(raise_exception=True)
        said = {"reason": body.validated_data["reason"], "by": request.user.get_username()}
        if lines := body.validated_data.get("lines"):
            units = {line["sku"]: line["quantity"] for line in lines}
            reference = body.validated_data["reference"]
            changing.cancel_lines(order_id=order.pk, units=units, reference=reference, **said)
        else:
            changing.cancel_order(order_id=order.pk, **said)
        return _shown(order)


class OrderConfirm(APIView):
    serializer_class = ConfirmIn

    def post(self, request: Request, pk: UUID) -> Response:
        """Confirm an order that was placed with confirm_by, until then; 409 when it is too late."""
        order = changeable(request, pk)
        ConfirmIn(data=request.data).is_valid(raise_exception=True)
        changing.confirm_order(order_id=order.pk, by=request.user.get_username())
        return _shown(order)


def _shown(order: Order) -> Response:
    [changed] = selectors.with_details(Order.objects.filter(pk=order.pk))
    return Response(OrderDetailOut(changed).data)
