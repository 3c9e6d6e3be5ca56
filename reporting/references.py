"""Well-known works behind the methods, cited where the text first names what they describe."""

from __future__ import annotations

import re

WORKS = {
    r"U-Net": "Ronneberger O, Fischer P, Brox T. MICCAI 2015; LNCS 9351:234-241",
    r"MONAI": "Cardoso MJ, et al. arXiv:2211.02701, 2022",
    r"AdamW": "Loshchilov I, Hutter F. ICLR 2019",
    r"pyradiomics(?!-)": "van Griethuysen JJM, et al. Cancer Res 2017;77:e104-e107",
    r"IBSI": "Zwanenburg A, et al. Radiology 2020;295:328-338",
    r"ICC\(\d,\d\)": "Shrout PE, Fleiss JL. Psychol Bull 1979;86:420-428",
    r"ComBat": "Johnson WE, et al. Biostatistics 2007;8:118-127",
    r"leave-one-centre-out": "Steyerberg EW, Harrell FE. J Clin Epidemiol 2016;69:245-247",
    r"Paule and Mandel": "Paule RC, Mandel J. J Res Natl Bur Stand 1982;87:377-385",
    r"Hartung and Knapp": "Hartung J, Knapp G. Stat Med 2001;20:3875-3889",
    r"LASSO": "Tibshirani R. J R Stat Soc B 1996;58:267-288",
    r"SMOTE": "Chawla NV, et al. J Artif Intell Res 2002;16:321-357",
    r"support vector machine": "Cortes C, Vapnik V. Mach Learn 1995;20:273-297",
    r"elastic net": "Zou H, Hastie T. J R Stat Soc B 2005;67:301-320",
    r"random forest": "Breiman L. Mach Learn 2001;45:5-32",
    r"gradient boosting": "Friedman JH. Ann Stat 2001;29:1189-1232",
    r"Platt": "Platt J. In: Advances in Large Margin Classifiers. MIT Press 1999:61-74",
    r"Youden": "Youden WJ. Cancer 1950;3:32-35",
    r"ridge penalty": "le Cessie S, van Houwelingen JC. Appl Stat 1992;41:191-201",
    r"Firth": "Firth D. Biometrika 1993;80:27-38",
    r"integrated calibration index": "Austin PC, Steyerberg EW. Stat Med 2019;38:4051-4065",
    r"Hand and Till": "Hand DJ, Till RJ. Mach Learn 2001;45:171-186",
    r"DeLong": "DeLong ER, et al. Biometrics 1988;44:837-845",
    r"Wilson": "Wilson EB. J Am Stat Assoc 1927;22:209-212",
    r"decision curve": "Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574",
    r"Nogueira": "Nogueira S, et al. J Mach Learn Res 2018;18(174):1-54",
    r"Benjamini and Hochberg": "Benjamini Y, Hochberg Y. J R Stat Soc B 1995;57:289-300",
    r"Riley": "Riley RD, et al. BMJ 2020;368:m441",
    r"scikit-learn": "Pedregosa F, et al. J Mach Learn Res 2011;12:2825-2830",
}
"""Regular expression of what is cited, and the work."""


def cite(texts: list[str]) -> tuple[list[str], list[str]]:
    """Number the works in the order in which the texts first name them.

    Parameters
    ----------
    texts : list of str
        In reading order.

    Returns
    -------
    texts : list of str
        With ``[1]`` after the word, where a work is first named.
    works : list of str
        The works that are cited, the first one is ``[1]``.
    """
    firsts = []
    for pattern, work in WORKS.items():
        for at, text in enumerate(texts):
            found = re.search(rf"{pattern}(?:s\b|['’]s\b)?", text)
            if found:
                firsts.append((at, found.end(), work))
                break
    firsts.sort()
    marked = list(texts)
    for number, (at, end, _) in reversed(list(enumerate(firsts, 1))):
        marked[at] = f"{marked[at][:end]} [{number}]{marked[at][end:]}"
    return marked, [work for *_, work in firsts]
