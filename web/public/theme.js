// Before anything is painted: the theme that was chosen here, if one was.
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "auto";
