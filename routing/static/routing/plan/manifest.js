/** The print button; the browser's own print works as well. */
document.getElementById("print")?.addEventListener("click", () => window.print());
