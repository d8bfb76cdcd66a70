"""manage.py create_channel: a sales channel with its API token."""

import re
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from rest_framework.authtoken.models import Token

from orders.models import Channel


class Command(BaseCommand):
    help = "Create a sales channel (or find it) and print its API token."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", help="letters, digits, - and _")
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        code = options["code"]
        if not re.fullmatch(r"[-\w]{1,40}", code):
            raise CommandError("The code may have up to 40 letters, digits, - and _.")
        self.stdout.write(self.channel_token(code, options["name"]))

    @staticmethod
    @transaction.atomic
    def channel_token(code: str, name: str = "") -> str:
        """The channel's API token; makes channel and user when they aren't there."""
        user, created = get_user_model().objects.get_or_create(username=f"channel-{code}")
        if created:
            user.set_unusable_password()
            user.save(update_fields=["password"])
        Channel.objects.get_or_create(code=code, defaults={"name": name or code, "user": user})
        return str(Token.objects.get_or_create(user=user)[0].key)
