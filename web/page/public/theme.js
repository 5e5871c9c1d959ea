// Before anything is painted: the theme that was chosen here, if one was.
let theme;
try {
  theme = localStorage.getItem("theme");
} catch {
  // This browser keeps nothing.
}
document.documentElement.dataset.theme = theme ?? "auto";
