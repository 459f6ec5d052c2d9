// Tables inside an element of class "sortable": click on a heading to sort by it, type words to filter the rows.
document.addEventListener("DOMContentLoaded", () => {
  const valueOf = (row, column) => row.cells[column].textContent.trim();
  const numberOf = (text) => Number(text.replaceAll(",", ""));

  for (const table of document.querySelectorAll(".sortable table")) {
    const body = table.tBodies[0];
    const box = document.createElement("input");
    box.type = "search";
    box.className = "filter";
    box.placeholder = "Filter, such as: resnet50 BSD";
    box.setAttribute("aria-label", "Filter the rows of the table");
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/);
      for (const row of body.rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
    (table.closest(".table-wrapper") ?? table).before(box);

    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      const sort = () => {
        const down = heading.ariaSort === "none" ? heading.classList.contains("text-right") : heading.ariaSort === "ascending";
        for (const other of headings) other.ariaSort = "none";
        heading.ariaSort = down ? "descending" : "ascending";
        const rows = [...body.rows].sort((a, b) => {
          const [x, y] = [valueOf(a, column), valueOf(b, column)];
          if (x === "" || y === "") return (x === "") - (y === ""); // unknown values stay at the end
          const order = numberOf(x) - numberOf(y) || x.localeCompare(y, "en", { numeric: true });
          return down ? -order : order;
        });
        body.append(...rows);
      };
      heading.tabIndex = 0;
      heading.ariaSort = "none";
      heading.title = "Sort";
      heading.addEventListener("click", sort);
      heading.addEventListener("keydown", (event) => event.key === "Enter" && sort());
    });
  }
});
