// Search and folding of threads. Everything is in the page without this.
(() => {
  const groups = [...document.querySelectorAll("details.thread")];
  if (groups.length === 0) return;
  const search = document.querySelector("#search");
  const found = document.querySelector("#found");
  const fold = document.querySelector("#fold");
  const texts = groups.map((group) => group.textContent.toLowerCase());
  const total = (shown) => shown.reduce((sum, group) => sum + Number(group.dataset.count), 0);

  // Marks the places in the text that were found, where the browser can.
  const mark = (shown, wish) => {
    if (!("highlights" in CSS)) return;
    CSS.highlights.delete("found");
    if (wish === "") return;
    const ranges = [];
    for (const group of shown) {
      const walker = document.createTreeWalker(group, NodeFilter.SHOW_TEXT);
      while (walker.nextNode() && ranges.length < 2000) {
        const text = walker.currentNode.data.toLowerCase();
        for (let at = text.indexOf(wish); at >= 0; at = text.indexOf(wish, at + wish.length)) {
          const range = new Range();
          range.setStart(walker.currentNode, at);
          range.setEnd(walker.currentNode, at + wish.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  };

  const filter = () => {
    const wish = search.value.trim().toLowerCase();
    const shown = groups.filter((group, number) => {
      group.hidden = !texts[number].includes(wish);
      return !group.hidden;
    });
    found.value = wish === "" ? "" : `${total(shown)} of ${total(groups)} threads`;
    mark(shown, wish);
  };

  const isOpen = () => groups.every((group) => group.hidden || group.open);
  const rename = () => { fold.textContent = isOpen() ? "Fold all" : "Unfold all"; };
  fold.addEventListener("click", () => {
    const open = !isOpen();
    for (const group of groups) if (!group.hidden) group.open = open;
    rename();
  });
  for (const group of groups) group.addEventListener("toggle", rename);
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") document.querySelector("#threads").scrollIntoView();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    }
  });
  search.hidden = false;
  fold.hidden = false;
  rename();
})();
