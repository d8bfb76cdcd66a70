"""manage.py create_staff: somebody who works in the admin, in a role."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from inventory import access, staffing


class Command(BaseCommand):
    help = "Create somebody who works in the admin, or change their role and warehouses."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--role", required=True, choices=access.ROLES)
        parser.add_argument(
            *("--warehouse", "-w"),
            action="append",
            default=[],
            help="a warehouse's code; may be given again. Supervisors and auditors see all",
        )
        parser.add_argument(
            "--password-file", type=Path, help="its first line is the password; else it is asked"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            user, made = staffing.employ(
                username=options["username"],
                role=options["role"],
                warehouses=options["warehouse"],
                password=self._password(options["username"], options["password_file"]),
            )
        except staffing.InvalidStaff as refusal:
            raise CommandError(str(refusal)) from refusal
        where = ", ".join(options["warehouse"]) or "no warehouse of their own"
        done = "created" if made else "changed"
        self.stdout.write(f"{user.get_username()} {done}: {options['role']}, {where}.")

    def _password(self, username: str, file: Path | None) -> str | None:
        """None: somebody who is there keeps theirs."""
        if file is not None:
            try:
                return file.read_text().partition("\n")[0].rstrip("\r")
            except (OSError, UnicodeDecodeError) as wrong:
                raise CommandError(f"Can't read the password from {file}: {wrong}") from wrong
        if User.objects.filter(username=username).exists():
            return None
        password = getpass.getpass()
        if password != getpass.getpass("Password (again): "):
            raise CommandError("These were two different passwords.")
        return password
