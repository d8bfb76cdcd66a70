from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0005_drivers_and_proofs"),
    ]

    operations = [
        migrations.AddField(
            model_name="depot",
            name="plan_asked_at",
            field=models.DateTimeField(
                help_text="when somebody asked for a plan last", null=True
            ),
        ),
    ]
