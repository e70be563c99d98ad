"use strict";

function sortBy(header) {
  const row = header.parentElement;
  const place = [...row.children].indexOf(header);
  const body = header.closest("table").tBodies[0];
  const falling = header.getAttribute("aria-sort") === "ascending";
  for (const other of row.children) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const key = (line) => line.cells[place].dataset.sort;
  const numeric = [...body.rows].every((line) => key(line) === "" || !Number.isNaN(Number(key(line))));
  const compare = (a, b) => {
    if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
    const order = numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b), undefined, { numeric: true });
    return falling ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}

function enlarge(plot) {
  const dialog = document.getElementById("large");
  dialog.querySelector("div").replaceChildren(plot.querySelector("svg").cloneNode(true));
  dialog.showModal();
}

function standalone(svg) {
  const copy = svg.cloneNode(true);
  const box = svg.viewBox.baseVal;
  copy.setAttribute("width", `${box.width}pt`);
  copy.setAttribute("height", `${box.height}pt`);
  return new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
}

function hand(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function save(link) {
  const svg = link.closest("figure").querySelector("svg");
  const blob = standalone(svg);
  if (link.dataset.save === "svg") return hand(blob, `${link.dataset.name}.svg`);
  const image = new Image();
  const scale = 4;
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = svg.viewBox.baseVal.width * scale;
    canvas.height = svg.viewBox.baseVal.height * scale;
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((png) => hand(png, `${link.dataset.name}.png`), "image/png");
    URL.revokeObjectURL(image.src);
  };
  image.src = URL.createObjectURL(blob);
  return undefined;
}

function markWide() {
  for (const box of document.querySelectorAll(".scroll")) {
    box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 4);
  }
}

document.addEventListener("click", (event) => {
  const header = event.target.closest("th button");
  const plot = event.target.closest("button.plot");
  const link = event.target.closest("a[data-save]");
  if (header) sortBy(header.parentElement);
  if (plot) enlarge(plot);
  if (link) { event.preventDefault(); save(link); }
  if (event.target.id === "large") event.target.close();
});
window.addEventListener("beforeprint", () => {
  for (const block of document.querySelectorAll("details")) block.open = true;
});
window.addEventListener("resize", markWide);
markWide();
