// What the theme leaves out for those who do not use a mouse: the search has a name, and tables that scroll get the focus.
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  setTimeout(() => {
    for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
  });
});
