"""The documentation site: its pages, and what makes its pictures and the clips to practise on."""
