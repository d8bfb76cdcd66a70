"""manage.py create_channel: a sales channel with its API token."""

import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders import services


class Command(BaseCommand):
    help = "Create a sales channel (or find it) and print its API token."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", help="letters, digits, - and _")
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        code = options["code"]
        if not re.fullmatch(r"[-a-zA-Z0-9_]{1,40}", code):
            raise CommandError("The code may have up to 40 letters, digits, - and _.")
        if len(options["name"]) > 100:
            raise CommandError("The name may have up to 100 characters.")
        self.stdout.write(self.channel_token(code, options["name"]))

    @staticmethod
    def channel_token(code: str, name: str = "") -> str:
        return services.create_channel(code=code, name=name)
