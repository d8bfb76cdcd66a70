"""Forms that staff use to change stock."""

from django import forms

from .models import Product, Warehouse
from .services import MAX_QUANTITY


class ReceiveForm(forms.Form):
    warehouse = forms.ModelChoiceField(Warehouse.objects.filter(active=True))
    sku = forms.ModelChoiceField(
        Product.objects.filter(active=True),
        to_field_name="sku",
        label="SKU",
        widget=forms.TextInput(attrs={"autofocus": True}),
    )
    quantity = forms.IntegerField(min_value=1, max_value=MAX_QUANTITY)
    reference = forms.CharField(
        max_length=120, help_text="Delivery note. The same one never counts twice."
    )


class AdjustForm(forms.Form):
    delta = forms.IntegerField(
        min_value=-MAX_QUANTITY, max_value=MAX_QUANTITY, label="Change by", help_text="e.g. -2"
    )
    reason = forms.CharField(max_length=120, help_text="Broken, found, miscounted…")
