from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("routing", "0004_plans_that_change"),
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
