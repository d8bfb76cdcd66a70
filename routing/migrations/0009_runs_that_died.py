from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0008_goods_of_shipments"),
    ]

    operations = [
        migrations.AddField(
            model_name="planrun",
            name="died",
            field=models.BooleanField(default=False, help_text="with its process"),
        ),
        migrations.AddField(
            model_name="planrun",
            name="in_vain",
            field=models.BooleanField(
                default=False, help_text="a plan that no longer held still does not"
            ),
        ),
    ]
