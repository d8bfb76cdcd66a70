"""Promise: whoever gives a file to the admin sees what it would do before it is done, and only who
may do so by hand; whoever takes a list away gets what they may see, no more."""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from import_export.admin import ExportMixin, ImportExportMixin
from import_export.results import RowResult
from unfold.contrib.import_export.forms import ExportForm, ImportForm

from . import access
from .file_formats import FORMATS, LONGEST, UnreadableFile

#: Rows of a list that are taken away at once.
MOST_EXPORTED = 50_000
#: Seconds until a file that was previewed and not confirmed is thrown away.
FORGOTTEN = 86_400
#: Errors that a message tells.
_TOLD = 5


class SmallFileForm(ImportForm):  # type: ignore[misc]
    def clean_import_file(self) -> Any:
        file = self.cleaned_data["import_file"]
        if file.size > LONGEST:
            self.add_error(
                "import_file",
                f"The file has more than {LONGEST:,} bytes; split it, or give it to the API.",
            )
        return file


class KeptFile:
    """An uploaded file between preview and confirmation, in a folder of its own: its name comes
    back from a browser and must lead nowhere else."""

    def __init__(
        self, *, name: str | None = None, read_mode: str = "r", encoding: str | None = None
    ) -> None:
        self.name = name or uuid4().hex
        self._mode, self._encoding = read_mode, encoding
        if not re.fullmatch(r"[0-9a-f]{32}", self.name):
            raise UnreadableFile("There is no such file.")

    @property
    def _path(self) -> Path:
        folder = Path(tempfile.gettempdir()) / "supplychain-imports"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / self.name

    def save(self, data: bytes) -> None:
        """And throw away those that nobody has confirmed in a day."""
        for other in self._path.parent.iterdir():
            with suppress(FileNotFoundError):  # another process is tidying, too
                if time.time() - other.stat().st_mtime > FORGOTTEN:
                    other.unlink()
        self._path.write_bytes(data)

    def read(self) -> str | bytes:
        if not self._path.exists():
            raise UnreadableFile("This file was imported already, or is lost: upload it again.")
        if self._mode == "rb":
            return self._path.read_bytes()
        return self._path.read_bytes().decode(self._encoding or "utf-8-sig")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


class _TakesListsAway:
    """What both mixins have: a list as a file, if it is not too long."""

    export_form_class = ExportForm
    formats: ClassVar[list[Any]] = FORMATS
    show_change_form_export = False

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(self.has_view_permission(request))  # type: ignore[attr-defined]

    def export_action(self, request: HttpRequest) -> HttpResponse:
        if not self.has_export_permission(request):
            raise PermissionDenied
        rows = self.get_export_queryset(request)  # type: ignore[attr-defined]
        if len(rows.order_by().values_list("pk")[: MOST_EXPORTED + 1]) > MOST_EXPORTED:
            text = f"The list has more than {MOST_EXPORTED:,} rows: filter it, then export."
            messages.warning(request, text)
            query = request.META.get("QUERY_STRING", "")
            return HttpResponseRedirect(f"{_list_of(self)}{'?' if query else ''}{query}")
        answer: HttpResponse = super().export_action(request)  # type: ignore[misc]
        return answer

    def get_export_data(
        self, file_format: Any, request: HttpRequest, queryset: Any, **kwargs: Any
    ) -> Any:
        """In a sheet numbers are numbers."""
        data = self.get_data_for_export(  # type: ignore[attr-defined]
            request, queryset, force_native_type=file_format.is_binary(), **kwargs
        )
        return file_format.export_data(data)

    def get_import_formats(self) -> list[Any]:
        return FORMATS

    def get_export_formats(self) -> list[Any]:
        return FORMATS


class ExportsFiles(_TakesListsAway, ExportMixin):  # type: ignore[misc]
    """For an admin class with ``resource_classes``: its list, as filtered, as CSV or XLSX."""


class ImportsFiles(_TakesListsAway, ImportExportMixin):  # type: ignore[misc]
    """For an admin class whose resources are ServiceResources; ``import_rights`` are needed."""

    import_rights: tuple[str, ...] = ()
    import_form_class = SmallFileForm
    tmp_storage_class = KeptFile
    skip_admin_log = True  # the ledger and the events tell it

    def has_import_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(self.import_rights) and user.has_perms(self.import_rights)

    def get_export_resource_classes(self, request: HttpRequest) -> list[Any]:
        return [kind.GOES_OUT_AS or kind for kind in super().get_export_resource_classes(request)]

    def get_import_resource_kwargs(self, request: HttpRequest, **kwargs: Any) -> dict[str, Any]:
        user = request.user
        codes = access.warehouses_of(user).values_list("code", flat=True)
        return {
            "actor": user.get_username(),
            "warehouses": set(codes),
            "limits": user.has_perm(access.LIMITS),
        }

    def add_data_read_fail_error_to_form(self, form: Any, e: Exception) -> None:
        if isinstance(e, UnicodeDecodeError):
            text = "The file is not UTF-8; save it as “CSV UTF-8”, or choose the format it has."
        elif isinstance(e, UnreadableFile):
            text = str(e)
        else:
            text = "The file can't be read; choose the format that it has."
        form.add_error("import_file", text)

    def process_import(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """The second step: what was previewed is done."""
        try:
            answer: HttpResponse = super().process_import(request, **kwargs)
        except (UnreadableFile, UnicodeDecodeError) as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(reverse(_name_of(self, "import")))
        return answer

    def process_result(self, result: Any, request: HttpRequest) -> HttpResponse:
        """Between preview and confirmation the stock may have changed."""
        if not result.has_errors():
            counts = result.totals
            changed = counts[RowResult.IMPORT_TYPE_NEW] + counts[RowResult.IMPORT_TYPE_UPDATE]
            same = counts[RowResult.IMPORT_TYPE_SKIP]
            messages.success(request, f"{changed} rows imported; {same} were so already.")
            return HttpResponseRedirect(_list_of(self))
        errors = [str(error.error) for error in result.base_errors]
        for number, wrong in result.row_errors():
            errors += [f"Row {number}: {error.error}" for error in wrong]
        for text in errors[:_TOLD]:
            messages.error(request, text)
        messages.warning(request, "Nothing was imported: something has changed meanwhile.")
        return HttpResponseRedirect(reverse(_name_of(self, "import")))


def _name_of(page: Any, what: str) -> str:
    return f"admin:{page.opts.app_label}_{page.opts.model_name}_{what}"


def _list_of(page: Any) -> str:
    return reverse(_name_of(page, "changelist"))
